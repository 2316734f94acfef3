"""Looking at modules and programs: listings, counts, differences and a graph for the browser."""
