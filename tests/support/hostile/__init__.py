"""The hostile suite: what a plugin may try, what stops it, and runs that hold one against the other."""
