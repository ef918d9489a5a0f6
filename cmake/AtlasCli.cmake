# The command line, with its manual and completions, which it prints itself.
#
#   bin/atlasm           the program
#   man/ completions/    what is installed beside it
#
# Its target folder is its own: cargo makes the library there too, without link-time optimisation and under the
# same names as in the folder of the libraries.

set(atlas_cli_cargo "${CMAKE_CURRENT_BINARY_DIR}/cargo-cli")
get_filename_component(atlas_cli_output "${atlas_cargo_output}" NAME)
set(atlas_cli "${CMAKE_CURRENT_BINARY_DIR}/bin/atlasm")
set(atlas_cli_all "")
if(ATLAS_MANIFOLD_CLI)
    set(atlas_cli_all ALL)
endif()

add_custom_target(atlas_cli ${atlas_cli_all}
    COMMAND "${CMAKE_COMMAND}"
        "-DCARGO=${ATLAS_CARGO}"
        "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}"
        "-DTARGET_DIR=${atlas_cli_cargo}"
        "-DPROFILE=${atlas_cargo_profile}"
        -DCLI=ON
        -P "${CMAKE_CURRENT_SOURCE_DIR}/cmake/RunCargo.cmake"
    COMMAND "${CMAKE_COMMAND}" -E make_directory bin completions
    COMMAND "${CMAKE_COMMAND}" -E copy "${atlas_cli_cargo}/${atlas_cli_output}/atlasm" "${atlas_cli}"
    COMMAND "${atlas_cli}" man --all man
    COMMAND "${atlas_cli}" completions bash > completions/atlasm
    COMMAND "${atlas_cli}" completions zsh > completions/_atlasm
    COMMAND "${atlas_cli}" completions fish > completions/atlasm.fish
    BYPRODUCTS "${atlas_cli}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    COMMENT "Building the command line (${atlas_cargo_profile}), which takes a minute or more the first time"
    USES_TERMINAL VERBATIM)

# What was not built is not installed.
if(ATLAS_MANIFOLD_INSTALL)
    install(PROGRAMS "${atlas_cli}" DESTINATION "${CMAKE_INSTALL_BINDIR}" OPTIONAL)
    install(DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/man/" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" OPTIONAL)
    set(atlas_completions "${CMAKE_CURRENT_BINARY_DIR}/completions")
    foreach(place "atlasm=bash-completion/completions" "_atlasm=zsh/site-functions" "atlasm.fish=fish/vendor_completions.d")
        string(REPLACE "=" ";" place "${place}")
        list(GET place 0 name)
        list(GET place 1 folder)
        install(FILES "${atlas_completions}/${name}" DESTINATION "${CMAKE_INSTALL_DATADIR}/${folder}" OPTIONAL)
    endforeach()
    install(FILES cli/schema/atlasm.schema.json DESTINATION "${CMAKE_INSTALL_DATADIR}/atlas_manifold")
endif()
