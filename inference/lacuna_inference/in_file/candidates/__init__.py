"""Fill candidates: texts from elsewhere in the file that may fill a hole whole, and how they are ranked."""
