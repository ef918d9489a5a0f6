# The library as others meet it: installed, moved, and used by the project in consumer/.
set(outside "${work}/outside")

set(outside_environment
    "CMAKE=${CMAKE_COMMAND}" "CTEST=${CMAKE_CTEST_COMMAND}" "GENERATOR=${CMAKE_GENERATOR}"
    "C_COMPILER=${CMAKE_C_COMPILER}" "CXX_COMPILER=${CMAKE_CXX_COMPILER}" "NM=${CMAKE_NM}" "OBJCOPY=${CMAKE_OBJCOPY}" "READELF=${CMAKE_READELF}"
    "CARGO=${ATLAS_CARGO}" "SOURCE=${PROJECT_SOURCE_DIR}" "BUILD=${PROJECT_BINARY_DIR}"
    "BUILD_TYPE=${CMAKE_BUILD_TYPE}" "CARGO_OUTPUT=${ATLAS_CARGO_TARGET_DIR}"
    "OPENCL=${ATLAS_MANIFOLD_OPENCL}"
    "DEV_OUTPUT=${ATLAS_DEV_TARGET_DIR}" "WORK=${outside}"
    "VERSION=${PROJECT_VERSION}" "SONAME=${atlas_soname}")

function(atlas_outside_test step)
    # It compiles the crate once more and takes a minute: `make test-long` asks for it.
    set(configurations "")
    if(step STREQUAL "prebuilt_layer2")
        set(configurations CONFIGURATIONS Long)
    endif()
    add_test(NAME outside_${step} ${configurations} COMMAND "${scripts}/outside.sh" ${step})
    set_tests_properties(outside_${step} PROPERTIES
        LABELS outside TIMEOUT 900
        FIXTURES_REQUIRED atlas_installed
        ENVIRONMENT "${outside_environment};${ARGN}")
endfunction()

add_test(NAME outside_install COMMAND "${scripts}/outside.sh" install)
set_tests_properties(outside_install PROPERTIES
    LABELS outside FIXTURES_SETUP atlas_installed ENVIRONMENT "${outside_environment}")

atlas_outside_test(destdir)
atlas_outside_test(find_package)
atlas_outside_test(version)
atlas_outside_test(components)
atlas_outside_test(subdirectory)
atlas_outside_test(by_hand)
atlas_outside_test(conservation_alone)
set(tools "VALGRIND=")
if(ATLAS_VALGRIND)
    set(tools "VALGRIND=${ATLAS_VALGRIND} --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite")
endif()
if(ATLAS_PKG_CONFIG)
    list(APPEND tools "PKG_CONFIG=${ATLAS_PKG_CONFIG}")
    atlas_outside_test(pkg_config "PKG_CONFIG=${ATLAS_PKG_CONFIG}")
endif()
atlas_outside_test(documents "${tools}")
if(ATLAS_RUSTC)
    atlas_outside_test(second_rust_library "RUSTC=${ATLAS_RUSTC}")
endif()
atlas_outside_test(prebuilt_layer2)
