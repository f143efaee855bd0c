"""What the trials teach: facts first, sentences and figures are drawings of them."""
