# The command line, with its manual and completions, which it prints itself.
#
#   bin/atlasm           the program
#   man/ completions/    the files installed beside it
#
# Its target folder is its own: cargo makes the library there too, without link-time optimisation and under the
# same names as in the folder of the libraries.

set(atlas_cli_cargo "${CMAKE_CURRENT_BINARY_DIR}/cargo-cli")
file(RELATIVE_PATH atlas_cli_output "${ATLAS_CARGO_TARGET_DIR}" "${atlas_cargo_output}")
set(atlas_cli "${CMAKE_CURRENT_BINARY_DIR}/bin/atlasm")
set(atlas_cli_all "")
if(ATLAS_MANIFOLD_CLI)
    set(atlas_cli_all ALL)
endif()

atlas_split_debug(atlas_cli_split "${atlas_cli}")
# What a cross compiler made runs under an emulator, or not here.
set(atlas_cli_prints "")
if(NOT CMAKE_CROSSCOMPILING OR CMAKE_CROSSCOMPILING_EMULATOR)
    set(run "${atlas_cli}")
    if(CMAKE_CROSSCOMPILING)
        set(run ${CMAKE_CROSSCOMPILING_EMULATOR} "${atlas_cli}")
    endif()
    set(atlas_cli_prints
        COMMAND ${run} man --all man
        COMMAND ${run} completions bash > completions/atlasm
        COMMAND ${run} completions zsh > completions/_atlasm
        COMMAND ${run} completions fish > completions/atlasm.fish)
endif()
add_custom_target(atlas_cli ${atlas_cli_all}
    COMMAND "${CMAKE_COMMAND}"
        "-DCARGO=${ATLAS_CARGO}"
        "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}"
        "-DTARGET_DIR=${atlas_cli_cargo}"
        "-DPROFILE=${atlas_cargo_profile}"
        "-DDEBUG_INFO=${ATLAS_MANIFOLD_DEBUG_FILES}"
        ${atlas_cargo_target}
        -DCLI=ON
        -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/RunCargo.cmake"
    COMMAND "${CMAKE_COMMAND}" -E make_directory bin completions
    COMMAND "${CMAKE_COMMAND}" -E copy "${atlas_cli_cargo}/${atlas_cli_output}/atlasm" "${atlas_cli}"
    ${atlas_cli_split}
    ${atlas_cli_prints}
    BYPRODUCTS "${atlas_cli}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    COMMENT "Building the command line (${atlas_cargo_profile}), which takes a minute or more the first time"
    USES_TERMINAL VERBATIM)

# What was not built is not installed.
if(ATLAS_MANIFOLD_INSTALL)
    install(PROGRAMS "${atlas_cli}" DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT tool OPTIONAL)
    install(DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/man/" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT tool OPTIONAL)
    set(atlas_completions "${CMAKE_CURRENT_BINARY_DIR}/completions")
    foreach(place "atlasm=bash-completion/completions" "_atlasm=zsh/site-functions" "atlasm.fish=fish/vendor_completions.d")
        string(REPLACE "=" ";" place "${place}")
        list(GET place 0 name)
        list(GET place 1 folder)
        install(FILES "${atlas_completions}/${name}" DESTINATION "${CMAKE_INSTALL_DATADIR}/${folder}"
            COMPONENT tool OPTIONAL)
    endforeach()
    install(FILES cli/schema/atlasm.schema.json DESTINATION "${CMAKE_INSTALL_DATADIR}/atlas_manifold" COMPONENT tool)
endif()
