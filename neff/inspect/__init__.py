"""Looking into NEFF files: what they hold, what the passes made, folders of their parts."""
