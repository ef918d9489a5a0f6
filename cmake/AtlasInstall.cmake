# Installs libraries, headers, licences, suppressions for valgrind and ThreadSanitizer, and what find_package and pkg-config
# read. All of it may be moved. The components runtime, dev, tool and debug become packages of their own
# (AtlasPackage.cmake); without --component all of them are installed.
include(CMakePackageConfigHelpers)

set(atlas_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/AtlasManifold")

# The libraries exist after the build only, and the links are installed as links.
if(ATLAS_MANIFOLD_SHARED)
    install(FILES "${atlas_lib}/${atlas_so_file}" "${atlas_lib}/${atlas_soname}"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime)
    install(FILES "${atlas_lib}/${atlas_so_name}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev)
endif()
if(ATLAS_MANIFOLD_STATIC)
    install(FILES "${atlas_lib}/${atlas_a_name}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev)
endif()

install(FILES include/atlas_manifold.h include/atlas_manifold.hpp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT dev)
install(FILES LICENSE-MIT LICENSE-APACHE LICENSE-THIRD-PARTY cmake/atlas_manifold.supp cmake/atlas_manifold.tsan.supp
    DESTINATION "${CMAKE_INSTALL_DATADIR}/atlas_manifold" COMPONENT dev)

configure_package_config_file(cmake/AtlasManifoldConfig.cmake.in
    "${CMAKE_CURRENT_BINARY_DIR}/AtlasManifoldConfig.cmake"
    INSTALL_DESTINATION "${atlas_cmake_dir}"
    PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(
    "${CMAKE_CURRENT_BINARY_DIR}/AtlasManifoldConfigVersion.cmake"
    COMPATIBILITY ${atlas_compatibility})
install(FILES
    "${CMAKE_CURRENT_BINARY_DIR}/AtlasManifoldConfig.cmake"
    "${CMAKE_CURRENT_BINARY_DIR}/AtlasManifoldConfigVersion.cmake"
    DESTINATION "${atlas_cmake_dir}" COMPONENT dev)
install(EXPORT AtlasManifoldTargets
    NAMESPACE AtlasManifold::
    FILE AtlasManifoldConservation.cmake
    DESTINATION "${atlas_cmake_dir}" COMPONENT dev)

# pkg-config: the prefix is where the .pc file lies, so many folders up.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
    set(atlas_pc_prefix "${CMAKE_INSTALL_PREFIX}")
    set(atlas_pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
    set(atlas_pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
    file(RELATIVE_PATH atlas_pc_up "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
    string(REGEX REPLACE "/$" "" atlas_pc_up "${atlas_pc_up}")
    set(atlas_pc_prefix "\${pcfiledir}/${atlas_pc_up}")
    set(atlas_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(atlas_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
list(TRANSFORM atlas_system_libraries PREPEND "-l" OUTPUT_VARIABLE atlas_pc_private)
string(JOIN " " atlas_pc_private ${atlas_pc_private} ${atlas_static_link_options})
foreach(name atlas_manifold atlas_conservation)
    configure_file(cmake/${name}.pc.in "${CMAKE_CURRENT_BINARY_DIR}/${name}.pc" @ONLY)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${name}.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT dev)
endforeach()

# Debug files under the build id of their library or program, where debuggers look for them.
if(ATLAS_MANIFOLD_DEBUG_FILES)
    set(atlas_debugged "${atlas_lib}/${atlas_so_file}")
    if(atlas_cli_all)
        list(APPEND atlas_debugged "${atlas_cli}")
    endif()
    foreach(file IN LISTS atlas_debugged)
        install(CODE "
            execute_process(COMMAND \"${CMAKE_READELF}\" -n \"${file}\" OUTPUT_VARIABLE notes COMMAND_ERROR_IS_FATAL ANY)
            if(NOT notes MATCHES \"Build ID: ([0-9a-f][0-9a-f])([0-9a-f]+)\")
                message(FATAL_ERROR \"${file} has no build id\")
            endif()
            file(INSTALL \"${file}.debug\" RENAME \"\${CMAKE_MATCH_2}.debug\"
                DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/debug/.build-id/\${CMAKE_MATCH_1}\")"
            COMPONENT debug)
    endforeach()
endif()
