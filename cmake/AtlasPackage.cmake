# Packages by CPack: one TGZ with everything, and for Debian one package for each component.
#
#   libatlas-manifold0.2          runtime    the shared library
#   libatlas-manifold-dev         dev        headers, static libraries, CMake and pkg-config files
#   atlasm                        tool       the command line
#   libatlas-manifold-dbg         debug      debug files, with ATLAS_MANIFOLD_DEBUG_FILES
#
# scripts/dist.sh calls it. With SOURCE_DATE_EPOCH the same files make the same packages, byte for byte.
set(ATLAS_MANIFOLD_MAINTAINER "atlas_manifold developers <atlas_manifold@invalid.invalid>" CACHE STRING
    "The maintainer that the packages name: NAME <ADDRESS>")
mark_as_advanced(ATLAS_MANIFOLD_MAINTAINER)

set(CPACK_PACKAGE_NAME atlas_manifold)
set(CPACK_PACKAGE_VENDOR atlas_manifold)
set(CPACK_PACKAGE_CONTACT "${ATLAS_MANIFOLD_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE-MIT")
set(CPACK_PACKAGE_FILE_NAME "atlas_manifold-${PROJECT_VERSION}-${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR}")
string(TOLOWER "${CPACK_PACKAGE_FILE_NAME}" CPACK_PACKAGE_FILE_NAME)
set(CPACK_COMPONENTS_ALL runtime dev)
if(ATLAS_MANIFOLD_CLI)
    list(APPEND CPACK_COMPONENTS_ALL tool)
endif()
if(ATLAS_MANIFOLD_DEBUG_FILES)
    list(APPEND CPACK_COMPONENTS_ALL debug)
endif()
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES OFF)
set(CPACK_PRE_BUILD_SCRIPTS "${CMAKE_CURRENT_SOURCE_DIR}/cmake/PreparePackage.cmake")
set(CPACK_ATLAS_SOURCE "${CMAKE_CURRENT_SOURCE_DIR}")
set(CPACK_ATLAS_ABI "${atlas_abi}")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(atlas_deb_version "${PROJECT_VERSION}")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME "libatlas-manifold${atlas_abi}")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
# By hand: CPack looks for libraries among executable files alone.
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/deb/shlibs"
    "libatlas_manifold ${atlas_abi} libatlas-manifold${atlas_abi} (>= ${atlas_deb_version})\n")
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/deb/triggers" "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA
    "${CMAKE_CURRENT_BINARY_DIR}/deb/shlibs" "${CMAKE_CURRENT_BINARY_DIR}/deb/triggers")
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "verifiable tiles and shards of large files (library)
Hashes large byte domains tile by tile under one root, cuts parts out that
verify alone, finds damaged bytes and rebuilds them.")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libatlas-manifold-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libatlas-manifold${atlas_abi} (= ${atlas_deb_version})")
set(CPACK_DEBIAN_DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEV_DESCRIPTION "verifiable tiles and shards of large files (development)
The headers for C and C++, the static libraries, and what CMake and
pkg-config read.")
set(CPACK_DEBIAN_TOOL_PACKAGE_NAME atlasm)
set(CPACK_DEBIAN_TOOL_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_TOOL_DESCRIPTION "finds damage in large files, and mends it
Seals files, says which of their bytes are damaged, and repairs them from
parity, a copy or a web server; packs them with their history, and cuts
verifiable parts out.")
set(CPACK_DEBIAN_DEBUG_PACKAGE_NAME libatlas-manifold-dbg)
set(CPACK_DEBIAN_DEBUG_PACKAGE_SECTION debug)
set(CPACK_DEBIAN_DEBUG_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEBUG_PACKAGE_DEPENDS "libatlas-manifold${atlas_abi} (= ${atlas_deb_version})")
set(CPACK_DEBIAN_DEBUG_DESCRIPTION "verifiable tiles and shards of large files (debug information)
Names and lines of the library and of atlasm, for debuggers and profilers.")
include(CPack)
