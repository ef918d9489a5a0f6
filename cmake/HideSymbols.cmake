# Makes an archive of one object, in which only the names listed in a file are visible.
#
#   cmake -DLD=... -DOBJCOPY=... -DAR=... -DARCHIVE=in.a -DSYMBOLS=names.txt -DOUTPUT=out.a [-DSTRIP_DEBUG=ON] -P HideSymbols.cmake
#
# --force-group-allocation dissolves COMDAT groups, whose names another library could otherwise claim.
# The two sections hold LLVM bitcode, over which an older LLVM's plugin for binutils breaks `ar` and `nm`.

function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE result ERROR_VARIABLE text OUTPUT_VARIABLE text)
    if(NOT result EQUAL 0)
        string(JOIN " " command ${ARGV})
        message(FATAL_ERROR "${command}\n${text}")
    endif()
endfunction()

get_filename_component(folder "${OUTPUT}" DIRECTORY)
file(MAKE_DIRECTORY "${folder}")

execute_process(COMMAND "${LD}" --version OUTPUT_VARIABLE linker ERROR_QUIET)
if(NOT linker MATCHES "^GNU ld" OR NOT OBJCOPY)
    message(WARNING "without GNU ld and objcopy the static library keeps all its names visible: "
        "a program that has one of Layer 2's, or a second Rust library, may not link with it")
    configure_file("${ARCHIVE}" "${OUTPUT}" COPYONLY)
    return()
endif()

set(whole "${OUTPUT}.whole.o")
set(hidden "${OUTPUT}.o")
run("${LD}" -r --force-group-allocation --whole-archive "${ARCHIVE}" -o "${whole}")
set(strip "")
if(STRIP_DEBUG)
    set(strip --strip-debug)
endif()
run("${OBJCOPY}" "--keep-global-symbols=${SYMBOLS}" ${strip}
    --remove-section=.llvmbc --remove-section=.llvmcmd "${whole}" "${hidden}")
file(REMOVE "${OUTPUT}")
run("${AR}" rcs "${OUTPUT}" "${hidden}")
file(REMOVE "${whole}" "${hidden}")
