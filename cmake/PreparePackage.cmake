# CPack runs this over the folder that it is about to pack: what Debian wants in each package, and one time for all
# files, SOURCE_DATE_EPOCH.

file(GLOB_RECURSE entries LIST_DIRECTORIES ON "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*")

if(CPACK_GENERATOR STREQUAL "DEB")
    set(epoch "$ENV{SOURCE_DATE_EPOCH}")
    if(NOT epoch)
        string(TIMESTAMP epoch %s UTC)
    endif()
    execute_process(COMMAND date -R -u -d "@${epoch}" OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE
        COMMAND_ERROR_IS_FATAL ANY)
    # Manuals compressed, without a time in them.
    foreach(entry IN LISTS entries)
        if(entry MATCHES "/man/man[0-9]/[^/]*\\.[0-9]$")
            execute_process(COMMAND gzip -9n "${entry}" COMMAND_ERROR_IS_FATAL ANY)
        endif()
    endforeach()
    set(package_runtime "libatlas-manifold${CPACK_ATLAS_ABI}")
    set(package_dev libatlas-manifold-dev)
    set(package_tool atlasm)
    set(package_debug libatlas-manifold-dbg)
    file(READ "${CPACK_ATLAS_SOURCE}/LICENSE-MIT" mit)
    foreach(component IN LISTS CPACK_COMPONENTS_ALL)
        set(doc "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component}/usr/share/doc/${package_${component}}")
        file(WRITE "${doc}/copyright" "Copyright: 2026 the atlas_manifold authors. Licence: MIT or Apache-2.0, whichever you like.\n"
            "The Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0. The licences of what is inside of others are\n"
            "in third-party.gz beside this file.\n\n${mit}")
        configure_file("${CPACK_ATLAS_SOURCE}/LICENSE-THIRD-PARTY" "${doc}/third-party" COPYONLY)
        execute_process(COMMAND gzip -9n "${doc}/third-party" COMMAND_ERROR_IS_FATAL ANY)
        file(WRITE "${doc}/changelog" "atlas-manifold (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium\n\n"
            "  * Version ${CPACK_PACKAGE_VERSION}; CHANGELOG.md of the source has the list of changes.\n\n"
            " -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
        execute_process(COMMAND gzip -9n "${doc}/changelog" COMMAND_ERROR_IS_FATAL ANY)
        execute_process(COMMAND chmod -R u=rwX,go=rX "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component}"
            COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    file(GLOB_RECURSE entries LIST_DIRECTORIES ON "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*")
endif()

if(DEFINED ENV{SOURCE_DATE_EPOCH})
    foreach(entry IN LISTS entries)
        execute_process(COMMAND touch -h -d "@$ENV{SOURCE_DATE_EPOCH}" "${entry}" COMMAND_ERROR_IS_FATAL ANY)
    endforeach()
    execute_process(COMMAND touch -d "@$ENV{SOURCE_DATE_EPOCH}" "${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
endif()
