"""The lab's commands, one file each."""
