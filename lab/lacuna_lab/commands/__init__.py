"""What the commands of the laboratory do and print, a file each."""
