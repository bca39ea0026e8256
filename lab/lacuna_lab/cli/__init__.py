"""The commands of the laboratory, as `lacuna` mounts them: parsing only, the rest is imported when one runs."""
