"""`lacuna eval --other-files`: whether excerpts of other files help a model to use what they define."""
