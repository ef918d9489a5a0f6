# Doxygen takes `f(&x);` and `CHECK(f(x));` for declarations, and links no name in them, unless there is a space.
s/\(atlas_[a-z0-9_]*(\)&/\1 \&/g
s/\(CHECK[A-Z_]*(\)atlas_/\1 atlas_/g
