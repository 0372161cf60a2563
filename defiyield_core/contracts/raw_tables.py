"""Raw tables: what the sources said, parsed but not judged.

Every row keeps `valid_at` (the moment it describes), `seen_at` (when we got it) and its source. Percent has become a
fraction in the parser; nothing else is changed.
"""

from __future__ import annotations

from defiyield_core.contracts.schema import Column, Table, columns

_STAMPS = """
    valid_at timestamp - | moment that the row describes, UTC
    seen_at timestamp - | moment at which we got it, UTC
    source text - | where it came from: live, recorded or simulated, with the endpoint
"""


def _raw(notation: str) -> tuple[Column, ...]:
    return (*columns(notation), *columns(_STAMPS))


RAW_TABLES = (
    Table(
        name="raw_defillama_pools",
        layer="raw",
        doc="DefiLlama `/pools`: one snapshot a day, describing the end of the day.",
        key=("date", "pool_id"),
        columns=_raw("""
            date date - | UTC day whose end the snapshot describes
            pool_id text - | DefiLlama's pool id
            chain text - | chain as DefiLlama names it
            project text - | protocol slug
            symbol text - | the pool's symbol
            pool_meta text? - | what tells two pools of one symbol apart
            tvl_usd double[0,] USD | total value locked; of a lending pool the available liquidity
            apy double[-1,]? fraction | effective annual rate, base and reward
            apy_base double? fraction | part paid by borrowers or fees
            apy_reward double? fraction | part paid in reward tokens
            apy_mean_30d double? fraction | DefiLlama's mean of 30 days
            volume_usd_1d double? USD | traded volume of a day
            stablecoin boolean - | DefiLlama's flag: every token is a stablecoin
            il_risk text? - | impermanent loss risk: yes or no
            exposure text? - | single or multi
            outlier boolean - | DefiLlama's flag
            observations double? days | DefiLlama's count of observations
            sigma double? - | DefiLlama's volatility of daily returns
            predicted_class text? - | DefiLlama's forecast
            predicted_probability double? percent | DefiLlama's confidence, a score and no probability
            underlying_tokens text? - | JSON list of addresses or symbols as they came
            reward_tokens text? - | JSON list of addresses as they came
        """),
    ),
    Table(
        name="raw_defillama_pool_history",
        layer="raw",
        doc="DefiLlama `/chart/{pool}`: one row per pool and day.",
        key=("date", "pool_id"),
        columns=_raw("""
            date date - | UTC day
            pool_id text - | DefiLlama's pool id
            tvl_usd double[0,]? USD | total value locked
            apy double[-1,]? fraction | effective annual rate, base and reward
            apy_base double? fraction | part paid by borrowers or fees
            apy_reward double? fraction | part paid in reward tokens
        """),
    ),
    Table(
        name="raw_coinmarketcap_ohlcv",
        layer="raw",
        doc="Daily candles of tokens, from CoinMarketCap or another price source.",
        key=("date", "symbol", "quote_currency"),
        columns=_raw("""
            date date - | UTC day
            symbol text - | upper-case token symbol
            quote_currency text - | USD, or USDT for a pair quoted in it
            open double[0,]? quote | first price
            high double[0,]? quote | highest price
            low double[0,]? quote | lowest price; missing in close-only sources
            close double[0,] quote | last price
            volume_usd double? USD | traded volume
            market_cap_usd double? USD | market capitalisation
        """),
    ),
    Table(
        name="raw_ethgastracker_hourly_gas_data",
        layer="raw",
        doc="Gas price by the hour (or as fine as the source has it), from ethgastracker.",
        key=("valid_at",),
        columns=_raw("""
            date date - | UTC day
            base_fee_gwei double[0,] gwei | base fee
            priority_fee_gwei double[0,] gwei | tip on top of the base fee; 0 where the source's price includes it
            eth_usd double[0,] USD | price of ETH
        """),
    ),
    Table(
        name="raw_etherscan_account_balances",
        layer="raw",
        doc="Etherscan balances of the addresses of live portfolios.",
        key=("date", "address", "token"),
        columns=_raw("""
            date date - | UTC day
            address text - | lower-case account address
            token text - | canonical token
            token_address text? - | contract; empty for ETH
            amount double[0,] token | balance
        """),
    ),
    Table(
        name="raw_etherscan_account_transactions",
        layer="raw",
        doc="Etherscan transactions and token transfers of the addresses of live portfolios.",
        key=("address", "transaction_hash", "kind", "sequence"),
        columns=_raw("""
            date date - | UTC day
            address text - | lower-case account address that was asked for
            transaction_hash text - | hash
            kind text - | txlist or tokentx
            sequence bigint - | position among the rows of one hash and kind
            block_number bigint - | block
            from_address text - | lower-case sender
            to_address text? - | lower-case receiver; empty for a contract creation
            token text - | canonical token, ETH for plain transactions
            token_address text? - | contract; empty for ETH
            amount double[0,] token | amount moved
            fee_eth double[0,] ETH | gas paid by the transaction
            failed boolean - | the transaction was reverted
        """),
    ),
)
