"""What any system said of images, in CSV or Parquet files -> distinct rows, each with a count."""
