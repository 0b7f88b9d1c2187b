"""In the field: the script that records on a node, the program that asks a server, and the logs of those who waited."""
