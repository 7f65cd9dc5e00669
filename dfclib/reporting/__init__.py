"""Tables, figures and README's generated blocks, all from recorded runs."""
