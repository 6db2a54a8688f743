"""One file for each step. A step never imports ``schema``: that goes on changing."""
