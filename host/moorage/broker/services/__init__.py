"""The brokered services. One file or folder each, named as its contract, SDK face, fake and docs page are."""
