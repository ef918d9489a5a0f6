# The opening comment of the C header, which is on no item, becomes that of the file, as it stands.
1s|^/\*|/**\n * \\file\n * \\brief The C API.\n *\n * \\verbatim\n *|
2,/^ \*\//s|^ \*/| * \\endverbatim\n */|
# The macros of the version have one comment for all of them.
s|^#define ATLAS_MANIFOLD_VERSION|/** The version of this header; atlas_manifold_version() gives the library's. */\n&|
