"""Files that leave the lab: a solution's trace as JSON, CSV and Parquet, and as a page that opens anywhere."""
