"""Bootstrap intervals, means and running means; no pictures, no files."""
