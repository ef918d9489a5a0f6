# The opening comment of the C++ header becomes that of the file, as it stands.
1i /// \\file\n/// \\brief The C++ API.\n///\n/// \\verbatim
1,/^$/{
    s|^//|///|
    s|^$|/// \\endverbatim\n|
}
# Macros of the header's own, and a specialisation that Doxygen takes for a class without a scope.
/^#define ATLAS_MANIFOLD_\(PUBLIC\|COLD\)/d
/^\/\/\/ Makes atlas::digest a key/,/^};/d
