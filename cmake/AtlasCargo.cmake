# The library as cargo builds it, and as it is shipped.
#
#   cargo/<target>/release/libatlas_manifold.{so,a}    what cargo makes
#   lib/libatlas_manifold.so.<version>                 the same with the links that its soname asks for
#   lib/libatlas_manifold.a                            the same with its foreign names hidden

# PATHS and not HINTS: the cargo on PATH comes first.
find_program(ATLAS_CARGO cargo REQUIRED
    PATHS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin"
    DOC "The cargo of Rust")

if(CMAKE_BUILD_TYPE STREQUAL "Debug")
    set(atlas_cargo_profile dev)
    set(atlas_cargo_output debug)
else()
    set(atlas_cargo_profile release)
    set(atlas_cargo_output release)
endif()

# The target in Rust's words. Cargo always gets it, and its folder then lies below cargo's: a target that the
# environment or a configuration file in any folder above names would otherwise decide about the place.
if(CMAKE_CROSSCOMPILING)
    set(atlas_triple "")
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        foreach(pair "^(x86_64|AMD64|amd64)$=x86_64-unknown-linux-gnu" "^(aarch64|arm64)$=aarch64-unknown-linux-gnu"
                "^i[3-6]86$=i686-unknown-linux-gnu" "^armv7.*$=armv7-unknown-linux-gnueabihf"
                "^riscv64$=riscv64gc-unknown-linux-gnu" "^(ppc64le|powerpc64le)$=powerpc64le-unknown-linux-gnu"
                "^s390x$=s390x-unknown-linux-gnu")
            string(REPLACE "=" ";" pair "${pair}")
            list(GET pair 0 processor)
            if(CMAKE_SYSTEM_PROCESSOR MATCHES "${processor}")
                list(GET pair 1 atlas_triple)
            endif()
        endforeach()
    endif()
    set(ATLAS_CARGO_TARGET "${atlas_triple}" CACHE STRING "What cargo --target gets when a cross compiler is used")
    if(NOT ATLAS_CARGO_TARGET)
        message(FATAL_ERROR "no target of Rust is known for ${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}: "
            "set ATLAS_CARGO_TARGET to one that `rustc --print target-list` names")
    endif()
    set(atlas_triple "${ATLAS_CARGO_TARGET}")
    set(atlas_cargo_target "-DTARGET_CC=${CMAKE_C_COMPILER}" "-DTARGET_AR=${CMAKE_AR}")
else()
    execute_process(COMMAND "${ATLAS_CARGO}" -vV OUTPUT_VARIABLE atlas_cargo_version COMMAND_ERROR_IS_FATAL ANY)
    if(NOT atlas_cargo_version MATCHES "host: ([^\n]+)")
        message(FATAL_ERROR "`${ATLAS_CARGO} -vV` does not name its host:\n${atlas_cargo_version}")
    endif()
    set(atlas_triple "${CMAKE_MATCH_1}")
    set(atlas_cargo_target "")
endif()
list(PREPEND atlas_cargo_target "-DTARGET=${atlas_triple}")
set(atlas_cargo_output "${ATLAS_CARGO_TARGET_DIR}/${atlas_triple}/${atlas_cargo_output}")

# What a static link needs beside the C library and the compiler's own; tested against rustc's list.
# The static library is one object: unused functions are removed by sections.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    set(atlas_system_libraries util rt pthread m dl)
    set(atlas_static_link_options -Wl,--gc-sections)
else()
    set(atlas_system_libraries "")
    set(atlas_static_link_options "")
endif()

set(atlas_so_name "${CMAKE_SHARED_LIBRARY_PREFIX}atlas_manifold${CMAKE_SHARED_LIBRARY_SUFFIX}")
set(atlas_a_name "${CMAKE_STATIC_LIBRARY_PREFIX}atlas_manifold${CMAKE_STATIC_LIBRARY_SUFFIX}")
set(atlas_lib "${CMAKE_CURRENT_BINARY_DIR}/lib")
if(APPLE)
    set(atlas_soname "libatlas_manifold.${atlas_abi}.dylib")
    set(atlas_so_file "libatlas_manifold.${PROJECT_VERSION}.dylib")
else()
    set(atlas_soname "${atlas_so_name}.${atlas_abi}")
    set(atlas_so_file "${atlas_so_name}.${PROJECT_VERSION}")
endif()

# atlas_split_debug(COMMANDS FILE): commands that take the debug information out of a file, to FILE.debug.
function(atlas_split_debug commands file)
    set(${commands} "" PARENT_SCOPE)
    if(ATLAS_MANIFOLD_DEBUG_FILES)
        set(${commands}
            COMMAND "${CMAKE_OBJCOPY}" --only-keep-debug "${file}" "${file}.debug"
            COMMAND "${CMAKE_OBJCOPY}" --strip-unneeded "--add-gnu-debuglink=${file}.debug" "${file}" PARENT_SCOPE)
    endif()
endfunction()
atlas_split_debug(atlas_so_split "${atlas_lib}/${atlas_so_file}")

# Cargo looks each time; where nothing has changed that takes a fraction of a second.
add_custom_target(atlas_cargo
    COMMAND "${CMAKE_COMMAND}"
        "-DCARGO=${ATLAS_CARGO}"
        "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}"
        "-DTARGET_DIR=${ATLAS_CARGO_TARGET_DIR}"
        "-DPROFILE=${atlas_cargo_profile}"
        "-DDEBUG_INFO=${ATLAS_MANIFOLD_DEBUG_FILES}"
        "-DOPENCL=${ATLAS_MANIFOLD_OPENCL}"
        ${atlas_cargo_target}
        -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/RunCargo.cmake"
    BYPRODUCTS "${atlas_cargo_output}/${atlas_so_name}" "${atlas_cargo_output}/${atlas_a_name}"
    COMMENT "Building the Rust library (${atlas_cargo_profile}), which takes a minute or more the first time"
    USES_TERMINAL VERBATIM)

add_custom_command(
    OUTPUT "${atlas_lib}/${atlas_so_file}"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${atlas_lib}"
    COMMAND "${CMAKE_COMMAND}" -E copy "${atlas_cargo_output}/${atlas_so_name}" "${atlas_lib}/${atlas_so_file}"
    ${atlas_so_split}
    COMMAND "${CMAKE_COMMAND}" -E create_symlink "${atlas_so_file}" "${atlas_lib}/${atlas_soname}"
    COMMAND "${CMAKE_COMMAND}" -E create_symlink "${atlas_soname}" "${atlas_lib}/${atlas_so_name}"
    DEPENDS atlas_cargo "${atlas_cargo_output}/${atlas_so_name}"
    VERBATIM)

# The names that the static library keeps are those of its header. Without this, a program with a
# function named like one of Layer 2 replaces ours without a word, and two Rust libraries in one
# program collide.
set(atlas_symbols "${CMAKE_CURRENT_SOURCE_DIR}/c_tests/symbols.txt")
add_custom_command(
    OUTPUT "${atlas_lib}/${atlas_a_name}"
    COMMAND "${CMAKE_COMMAND}"
        "-DLD=${CMAKE_LINKER}" "-DOBJCOPY=${CMAKE_OBJCOPY}" "-DAR=${CMAKE_AR}"
        "-DARCHIVE=${atlas_cargo_output}/${atlas_a_name}"
        "-DSYMBOLS=${atlas_symbols}"
        "-DOUTPUT=${atlas_lib}/${atlas_a_name}"
        "-DSTRIP_DEBUG=${ATLAS_MANIFOLD_DEBUG_FILES}"
        -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/HideSymbols.cmake"
    DEPENDS atlas_cargo "${atlas_cargo_output}/${atlas_a_name}" "${atlas_symbols}"
        "${CMAKE_CURRENT_SOURCE_DIR}/cmake/HideSymbols.cmake"
    VERBATIM)

add_custom_target(atlas_manifold_libraries ALL
    DEPENDS "${atlas_lib}/${atlas_so_file}" "${atlas_lib}/${atlas_a_name}")

if(ATLAS_MANIFOLD_SHARED)
    add_library(atlas_manifold_shared SHARED IMPORTED GLOBAL)
    add_dependencies(atlas_manifold_shared atlas_manifold_libraries)
    set_target_properties(atlas_manifold_shared PROPERTIES
        IMPORTED_LOCATION "${atlas_lib}/${atlas_so_file}"
        IMPORTED_SONAME "${atlas_soname}"
        INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR}/include")
    add_library(AtlasManifold::shared ALIAS atlas_manifold_shared)
    add_library(AtlasManifold::AtlasManifold ALIAS atlas_manifold_shared)
endif()

if(ATLAS_MANIFOLD_STATIC)
    add_library(atlas_manifold_static STATIC IMPORTED GLOBAL)
    add_dependencies(atlas_manifold_static atlas_manifold_libraries)
    set_target_properties(atlas_manifold_static PROPERTIES
        IMPORTED_LOCATION "${atlas_lib}/${atlas_a_name}"
        INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR}/include"
        INTERFACE_LINK_LIBRARIES "${atlas_system_libraries}"
        INTERFACE_LINK_OPTIONS "${atlas_static_link_options}")
    add_library(AtlasManifold::static ALIAS atlas_manifold_static)
    if(NOT ATLAS_MANIFOLD_SHARED)
        add_library(AtlasManifold::AtlasManifold ALIAS atlas_manifold_static)
    endif()
endif()

# The header for C++ over the same library. The standard is a property and not target_compile_features(), which needs a
# C++ compiler where nobody compiles C++.
add_library(atlas_manifold_cpp INTERFACE)
set_target_properties(atlas_manifold_cpp PROPERTIES
    INTERFACE_COMPILE_FEATURES cxx_std_17
    INTERFACE_LINK_LIBRARIES AtlasManifold::AtlasManifold)
add_library(AtlasManifold::cpp ALIAS atlas_manifold_cpp)
