"""The report of a comparison: text, tables, figures and the model card."""
