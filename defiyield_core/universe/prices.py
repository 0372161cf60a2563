"""Daily candles of tokens in USD.

Belongs here: which quote counts and how a USDT quote becomes dollars. Does not belong here: pegs (see `icebox`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

_PRICES = ("open", "high", "low", "close")


def token_candles(raw: pd.DataFrame) -> pd.DataFrame:
    """Rows of `token_daily` for the rows of `raw_coinmarketcap_ohlcv`, one per token and day.

    A USD quote wins over a USDT one. A USDT quote is multiplied by that day's USDT/USD close; without one there is no
    price in dollars and no row. A missing low is the close.
    """
    quote, symbol = raw["quote_currency"].to_numpy(), raw["symbol"].to_numpy()
    is_usd = quote == "USD"
    tether = raw[is_usd & (symbol == "USDT")]
    tether_usd = pd.Series(tether["close"].to_numpy(), index=tether["date"].to_numpy())
    in_usd, in_usdt = raw[is_usd], raw[(quote == "USDT") & (symbol != "USDT")]
    factor = tether_usd.reindex(in_usdt["date"]).to_numpy(dtype=float)
    prices = {
        f"{name}_usd": np.concatenate(
            [in_usd[name].to_numpy(dtype=float), in_usdt[name].to_numpy(dtype=float) * factor]
        )
        for name in _PRICES
    }
    prices["low_usd"] = np.where(np.isnan(prices["low_usd"]), prices["close_usd"], prices["low_usd"])
    both = pd.concat([in_usd, in_usdt])
    candles = pd.DataFrame(
        {
            "date": both["date"].to_numpy(),
            "token": both["symbol"].to_numpy(),
            **prices,
            "market_cap_usd": both["market_cap_usd"].to_numpy(dtype=float),
            "source_quote": both["quote_currency"].to_numpy(),
        }
    )
    candles = candles[candles["close_usd"].notna()].drop_duplicates(["date", "token"], keep="first")
    return candles.sort_values(["date", "token"], ignore_index=True)
