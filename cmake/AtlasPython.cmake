# What the wheel of python/ has beside Python: the shared library under its soname, which ctypes loads, the command
# line, and the licences of both. scikit-build-core installs this component alone.
if(ATLAS_MANIFOLD_PYTHON)
    install(FILES "${atlas_lib}/${atlas_so_file}" RENAME "${atlas_soname}"
        DESTINATION lib COMPONENT python)
    install(PROGRAMS "${atlas_cli}" DESTINATION bin COMPONENT python)
    install(FILES LICENSE-MIT LICENSE-APACHE LICENSE-THIRD-PARTY DESTINATION licenses COMPONENT python)
endif()
