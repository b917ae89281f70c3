"""What goes with the files: model card, Modelfile, checksums, the Hub."""
