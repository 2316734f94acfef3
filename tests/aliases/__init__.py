"""The documented import names that are served from the packages behind them."""
