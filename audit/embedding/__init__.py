"""A dataset -> the features of its images, computed on this machine or on workers."""
