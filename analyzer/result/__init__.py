"""What an analysis is: the result, its tables and their files, and the same with one setting changed."""
