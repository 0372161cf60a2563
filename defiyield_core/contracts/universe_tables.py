"""Universe tables: which pools there are, how they behave, and which may be used."""

from __future__ import annotations

from defiyield_core.contracts.schema import Table, columns

_LIST = """
    added_at timestamp - | from when on the entry is on the list
    removed_at timestamp? - | from when on it is off again
    changed_by text - | who made the last change
    reason text - | why
"""

UNIVERSE_TABLES = (
    Table(
        name="pools",
        layer="universe",
        doc="Stablecoin pools as they stood on a day: what they are and which tokens they hold.",
        key=("date", "pool_id"),
        columns=columns("""
            date date - | UTC day
            pool_id text - | DefiLlama's pool id
            chain text - | chain
            protocol text - | protocol slug
            symbol text - | the pool's symbol
            pool_meta text? - | what tells two pools of one symbol apart
            tokens text - | JSON list of canonical tokens, distinct, in the pool's order
            tvl_usd double[0,] USD | TVL in the snapshot
            first_day date - | first day on which the pool was seen
        """),
    ),
    Table(
        name="pool_daily_metrics",
        layer="universe",
        doc="APY and TVL of a pool on a day with rolling statistics.",
        key=("date", "pool_id"),
        columns=columns("""
            date date - | UTC day
            pool_id text - | DefiLlama's pool id
            apy double[-1,]? fraction | rate of the day; null when the day is missing
            tvl_usd double[0,]? USD | TVL of the day; null when the day is missing
            apy_filled double[-1,]? fraction | rate carried forward over a gap of at most 3 days
            tvl_usd_filled double[0,]? USD | TVL carried forward likewise
            is_carried boolean - | the filled values come from an earlier day
            is_flagged boolean - | absurd APY (above 10 = 1000 %): never forecast, never allocated, accrues zero
            apy_mean_7d double? fraction | mean of the observed days among the last 7
            apy_mean_30d double? fraction | of the last 30
            apy_std_7d double[0,]? fraction | sample standard deviation of the last 7 days
            apy_std_30d double[0,]? fraction | of the last 30
            apy_change_1d double? fraction | change since the day before
            tvl_mean_7d_usd double? USD | mean of the observed days among the last 7
            tvl_mean_30d_usd double? USD | of the last 30
            tvl_std_7d_usd double[0,]? USD | sample standard deviation of the last 7 days
            tvl_std_30d_usd double[0,]? USD | of the last 30
            tvl_change_1d_usd double? USD | change since the day before
            history_days bigint[0,] days | days observed so far
            missing_share_30d double[0,1] fraction | missing days among the last 30 since the pool began
            age_days bigint[0,] days | age of the newest observation
        """),
    ),
    Table(
        name="pool_groups",
        layer="universe",
        doc="Risk tier of a pool on a day by the stability of its APY: 1 calm, 2 moving, 3 wild or too young.",
        key=("date", "pool_id"),
        columns=columns("""
            date date - | UTC day
            pool_id text - | DefiLlama's pool id
            pool_group bigint[1,3] - | tier
            reason text - | which threshold decided it
        """),
    ),
    Table(
        name="token_daily",
        layer="universe",
        doc="Daily candle of a token in USD, USDT quotes multiplied by USDT/USD.",
        key=("date", "token"),
        columns=columns("""
            date date - | UTC day
            token text - | canonical token
            open_usd double[0,]? USD | first price
            high_usd double[0,]? USD | highest price
            low_usd double[0,] USD | lowest price; the close where the source has none
            close_usd double[0,] USD | last price
            market_cap_usd double[0,]? USD | market capitalisation
            source_quote text - | the quote the candle came in
        """),
    ),
    Table(
        name="gas_fees_hourly",
        layer="universe",
        doc="Gas price by the hour.",
        key=("hour",),
        columns=columns("""
            date date - | UTC day
            hour timestamp - | start of the hour, UTC
            base_fee_gwei double[0,] gwei | mean base fee
            priority_fee_gwei double[0,] gwei | mean tip
            eth_usd double[0,] USD | mean price of ETH
        """),
    ),
    Table(
        name="gas_fees_daily",
        layer="universe",
        doc="Gas price of a day: mean over its hours.",
        key=("date",),
        columns=columns("""
            date date - | UTC day
            base_fee_gwei double[0,] gwei | mean base fee
            priority_fee_gwei double[0,] gwei | mean tip
            max_gas_price_gwei double[0,] gwei | highest hourly base fee plus tip
            eth_usd double[0,] USD | mean price of ETH
            hours bigint[0,] - | hours observed
        """),
    ),
    Table(
        name="icebox_tokens",
        layer="universe",
        doc="Tokens off their peg: a row for every day in the icebox, and one for the day of leaving it.",
        key=("date", "token"),
        columns=columns("""
            date date - | UTC day
            token text - | canonical token
            status text - | entered, held or left
            reason text - | low, close, low+close or no_price; on leaving: recovered
            added_at date - | day of entry
            removed_at date? - | day of leaving
            low_usd double? USD | lowest price of the day
            close_usd double? USD | last price of the day
        """),
    ),
    Table(
        name="approved_tokens",
        layer="universe",
        doc="Tokens a portfolio may hold.",
        key=("token", "added_at"),
        window=None,
        columns=columns("""
            token text - | canonical token
            chain text? - | chain of the address
            address text? - | contract on that chain, lower case
            pegged boolean - | pegged to the dollar; a wrapper is not
            wraps text? - | token it wraps
        """)
        + columns(_LIST),
    ),
    Table(
        name="blacklisted_tokens",
        layer="universe",
        doc="Tokens no portfolio may hold, whatever else approves them.",
        key=("token", "added_at"),
        window=None,
        columns=columns("token text - | canonical token") + columns(_LIST),
    ),
    Table(
        name="approved_protocols",
        layer="universe",
        doc="Protocols a portfolio may use, by DefiLlama slug.",
        key=("protocol", "added_at"),
        window=None,
        columns=columns("protocol text - | DefiLlama slug") + columns(_LIST),
    ),
    Table(
        name="eligible_pools",
        layer="universe",
        doc="Every pool of a day judged under a ruleset, with every reason against it.",
        key=("date", "ruleset", "pool_id"),
        columns=columns("""
            date date - | UTC day
            ruleset text - | id of the eligibility parameters
            pool_id text - | DefiLlama's pool id
            depositable boolean - | new deposits are allowed
            must_exit boolean - | a held position must leave: there is a hard reason
            reasons text - | all reasons, hard ones marked with an exclamation mark, separated by '; '; empty when none
            notes text - | unknown data that did not exclude
        """),
    ),
)
