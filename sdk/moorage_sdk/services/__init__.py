"""The faces of brokered services. One file for each, named as on the host's side."""
