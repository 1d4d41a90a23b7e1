"""From the comparison to what people read: text, tables, figures and the model card."""
