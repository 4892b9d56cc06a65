"""The commands, one file each, named as they are typed. They import what is heavy when they run."""
