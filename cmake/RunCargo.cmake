# Builds the shared and the static library with cargo, or, with -DCLI=ON, the command line.
#
#   cmake -DCARGO=... -DSOURCE=... -DTARGET_DIR=... -DTARGET=triple -DPROFILE=... [-DDEBUG_INFO=ON] [-DOPENCL=ON]
#       [-DCLI=ON] [-DTARGET_CC=... -DTARGET_AR=...] -P RunCargo.cmake
#
# They lie in TARGET_DIR/TARGET/release or debug: the arguments take the place of a target and of a target folder in the
# environment or in a configuration file of cargo.
#
# They get the flags of SOURCE/.cargo/config.toml wherever the build folder lies, since cargo
# looks for that file from the working folder upwards. They name no folder of this machine: each path
# that rustc would write down gets another beginning.

# The job server of a make above is none of cargo's or rustc's.
unset(ENV{MAKEFLAGS})
unset(ENV{MFLAGS})

set(cargo_home "$ENV{CARGO_HOME}")
if(NOT cargo_home AND WIN32)
    set(cargo_home "$ENV{USERPROFILE}/.cargo")
elseif(NOT cargo_home)
    set(cargo_home "$ENV{HOME}/.cargo")
endif()

# rustc takes the last one that fits, so that the target folder comes after a source that it lies in.
set(flags "")
foreach(pair "cargo_home=/cargo" "SOURCE=/atlas_manifold" "TARGET_DIR=/target")
    string(REPLACE "=" ";" pair "${pair}")
    list(GET pair 0 name)
    list(GET pair 1 to)
    get_filename_component(real "${${name}}" REALPATH)
    foreach(from IN LISTS ${name} real)
        list(APPEND flags "--remap-path-prefix=${from}=${to}")
    endforeach()
endforeach()
# Where the sources of the standard library are installed, its paths are theirs; otherwise rustc has these.
set(rustc "$ENV{RUSTC}")
if(NOT rustc)
    get_filename_component(folder "${CARGO}" DIRECTORY)
    find_program(found rustc HINTS "${folder}" REQUIRED)
    set(rustc "${found}")
endif()
execute_process(COMMAND "${rustc}" --print sysroot
    OUTPUT_VARIABLE sysroot OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND "${rustc}" -vV OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
if(version MATCHES "commit-hash: ([0-9a-f]+)")
    list(APPEND flags "--remap-path-prefix=${sysroot}/lib/rustlib/src/rust=/rustc/${CMAKE_MATCH_1}")
endif()
list(REMOVE_DUPLICATES flags)
set(profile "")
if(DEBUG_INFO)
    # Lines of Rust alone, by a flag: the profile's setting would ask C for the same, with the paths of this machine.
    list(APPEND flags -Cdebuginfo=line-tables-only)
    set(profile --config "profile.${PROFILE}.strip=\"none\"")
endif()

# Flags in the environment take the place of all that are configured, so that ours are added to them.
if(DEFINED ENV{CARGO_ENCODED_RUSTFLAGS} OR DEFINED ENV{RUSTFLAGS})
    file(STRINGS "${SOURCE}/.cargo/config.toml" configured REGEX "^rustflags = ")
    string(REGEX MATCHALL "\"[^\"]*\"" configured "${configured}")
    string(REPLACE "\"" "" configured "${configured}")
    string(ASCII 31 separator)
    if(DEFINED ENV{CARGO_ENCODED_RUSTFLAGS})
        string(REPLACE "${separator}" ";" given "$ENV{CARGO_ENCODED_RUSTFLAGS}")
    else()
        string(REGEX MATCHALL "[^ \t\n]+" given "$ENV{RUSTFLAGS}")
    endif()
    list(JOIN given "${separator}" given)
    list(PREPEND flags ${given} ${configured})
    list(JOIN flags "${separator}" flags)
    set(ENV{CARGO_ENCODED_RUSTFLAGS} "${flags}")
    # An archive of the source says there where its crates are.
    set(config --config "${SOURCE}/.cargo/config.toml")
else()
    # Lists of several places are joined by cargo.
    string(REPLACE "\\" "\\\\" flags "${flags}")
    string(REPLACE "\"" "\\\"" flags "${flags}")
    list(TRANSFORM flags REPLACE "(.+)" "\"\\1\"")
    list(JOIN flags ", " flags)
    set(config --config "${SOURCE}/.cargo/config.toml" --config "build.rustflags=[${flags}]")
endif()

# Both kinds in one run and no rlib, or else there is no link-time optimisation.
set(features reserve)
if(OPENCL)
    string(APPEND features ",opencl")
endif()
set(what rustc --lib --crate-type cdylib,staticlib --features ${features})
if(CLI)
    # It takes two thirds of the time of "fat" to build, and the program is as fast.
    set(what build --package atlasm --bin atlasm --config "profile.release.lto=\"thin\"")
endif()
# A cross compiler also links, and compiles the C sources.
if(TARGET_CC)
    string(REPLACE "-" "_" name "${TARGET}")
    set(ENV{CC_${name}} "${TARGET_CC}")
    set(ENV{AR_${name}} "${TARGET_AR}")
    string(TOUPPER "${name}" name)
    set(ENV{CARGO_TARGET_${name}_LINKER} "${TARGET_CC}")
endif()
list(POP_FRONT what command)
execute_process(
    COMMAND "${CARGO}" ${command} ${config} ${profile} ${what} --profile "${PROFILE}"
        --target "${TARGET}" --target-dir "${TARGET_DIR}" --locked --manifest-path "${SOURCE}/Cargo.toml"
    RESULT_VARIABLE result)
if(NOT result EQUAL 0)
    message(FATAL_ERROR "cargo ${command}: ${result}")
endif()
