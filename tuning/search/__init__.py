"""Who proposes configurations: each module is one implementation of the Searcher protocol."""
