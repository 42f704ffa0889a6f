"""The pages that people look at: of a run, of a comparison, of paths on a surface."""
