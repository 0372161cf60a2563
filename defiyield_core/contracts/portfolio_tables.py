"""Portfolio tables: what was decided, what it cost, what it earned."""

from __future__ import annotations

from defiyield_core.contracts.schema import Table, columns

_SCOPE = ("portfolio",)

PORTFOLIO_TABLES = (
    Table(
        name="allocation_parameters",
        layer="portfolio",
        doc="What a decision was made with: its parameters and the lists as they stood.",
        key=("portfolio", "date"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            run_id text - | id of the decision
            policy text - | policy that decided
            parameters text - | JSON of every parameter
            approved_tokens text - | JSON list
            blacklisted_tokens text - | JSON list
            approved_protocols text - | JSON list
            icebox_tokens text - | JSON list
            status text - | ok, no_pools, solver_infeasible, timeout or data_missing
            reason text - | why, when the status is not ok
            objective_usd double? USD | growth over the horizon net of costs
            bound_usd double? USD | proven upper bound of it
            gap_bps double? bps | bound less objective, of AUM
            hold_objective_usd double? USD | what doing nothing would have promised
            notes text - | remarks of the decision
            engine text? - | solver that proved it
            break_even_days double? days | days after which the gain over holding has paid the costs
            policy_options text? - | JSON of the policy's own options
        """),
    ),
    Table(
        name="asset_allocations",
        layer="portfolio",
        doc="Positions at the close of a day, after its trades.",
        key=("portfolio", "date", "pool_id", "token"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            run_id text - | id of the decision
            pool_id text - | DefiLlama's pool id
            token text - | canonical token
            amount double[0,] token | amount held
            value_usd double[0,] USD | amount at the day's price
        """),
    ),
    Table(
        name="asset_allocation_details",
        layer="portfolio",
        doc="Every candidate of a decision: what it got and what held it there.",
        key=("portfolio", "date", "pool_id"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            run_id text - | id of the decision
            pool_id text - | DefiLlama's pool id
            symbol text - | the pool's symbol
            protocol text - | protocol slug
            chain text - | chain
            pool_group bigint[1,3] - | risk tier
            apy_forecast double? fraction | forecast APY
            tvl_usd double? USD | TVL that capped the position
            value_before_usd double[0,] USD | position before the decision
            value_usd double[0,] USD | position after it
            share_of_aum double[0,] fraction | of AUM before costs
            binding text - | constraint that holds the position where it is, or why it got nothing
            shadow_price_bps double? bps | what a dollar more room under that constraint would add over the horizon
            marginal_apy double? fraction | what the last dollar of the position earns
            capacity_usd double? USD | position at which the last dollar earns no more than the next best use of it
            break_even_apy double? fraction | forecast APY from which a candidate would have been worth a move
        """),
    ),
    Table(
        name="allocation_problems",
        layer="portfolio",
        doc="The problem that a decision answers, whole: solving it again gives the same decision.",
        key=("portfolio", "date"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            run_id text - | id of the decision
            problem text - | JSON, as `defiyield allocate` reads it
        """),
    ),
    Table(
        name="allocation_transactions",
        layer="portfolio",
        doc="The plan of a decision, in the order of execution.",
        key=("portfolio", "date", "seq"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            run_id text - | id of the decision
            seq bigint[1,] - | order of execution
            type text - | WITHDRAWAL, CONVERSION, ALLOCATION or HOLD
            from_location text - | wallet, or the pool's id
            to_location text - | wallet, or the pool's id
            token text - | token that leaves
            to_token text - | token that arrives; the same unless it is a conversion
            amount double[0,] token | gross amount of the token that leaves
            amount_usd double[0,] USD | gross value
            gas_cost_usd double[0,] USD | gas
            conversion_cost_usd double[0,] USD | conversion fee
            total_cost_usd double[0,] USD | both
            fee_token text? - | wallet token that pays the costs
        """),
    ),
    Table(
        name="daily_ledger",
        layer="portfolio",
        doc="The books: per portfolio, day and token.",
        key=("portfolio", "date", "token"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            token text - | canonical token
            wallet_amount double[0,] token | idle in the wallet at the close
            allocated_amount double[0,] token | in pools at the close
            price_usd double[0,] USD | price of the day
            value_usd double[0,] USD | both amounts at that price
            accrual_usd double USD | yield of the day, at yesterday's prices
            revaluation_usd double USD | change of value by price
            fees_usd double[0,] USD | gas and conversion fees paid in this token
            flows_usd double USD | external flows
            nav_usd double[0,] USD | value of the whole portfolio at the close
            realised_day_yield double fraction | accrual of the whole portfolio over its opening value
            realised_ytd_yield double fraction | the same, compounded since the first of January or the first day
        """),
    ),
    Table(
        name="portfolio_daily",
        layer="portfolio",
        doc="A portfolio's day in one row: the accounting identity and the decision's outcome.",
        key=("portfolio", "date"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day
            run_id text - | id of the decision
            aum_open_usd double[0,] USD | yesterday's close
            accrual_usd double USD | realised yield
            forecast_accrual_usd double USD | what yesterday's forecast said the yield would be
            revaluation_usd double USD | change of value by price
            flows_usd double USD | external flows
            gas_usd double[0,] USD | gas paid
            conversion_usd double[0,] USD | conversion fees paid
            aum_close_usd double[0,] USD | open + accrual + revaluation + flows - gas - conversion
            idle_usd double[0,] USD | in the wallet at the close
            turnover_usd double[0,] USD | deposits and withdrawals
            n_positions bigint[0,] - | pools held at the close
            n_transactions bigint[0,] - | trades of the day
            token_changes bigint[0,] - | conversions of the day
            weighted_apy double fraction | forecast APY of the closing book, idle counted as 0
            realised_apy double fraction | accrual over the opening value, annualised
            status text - | ok, no_pools, solver_infeasible, timeout or data_missing
            reason text - | why, when the status is not ok
            no_data_pools bigint[0,] - | held pools without a row on the day
        """),
    ),
    Table(
        name="portfolio_state",
        layer="portfolio",
        doc="Everything a portfolio carries into the next day.",
        key=("portfolio", "date", "location", "token"),
        scope=_SCOPE,
        columns=columns("""
            portfolio text - | portfolio
            date date - | UTC day at whose close the state stands
            location text - | wallet, or the pool's id
            token text - | canonical token
            amount double[0,] token | amount
            price_usd double[0,] USD | price at which the close was valued
            absent_days bigint[0,] days | days in a row on which the pool had no row
            forecast_apy double? fraction | forecast the position was last valued with
        """),
    ),
    Table(
        name="completed_days",
        layer="portfolio",
        doc="The watermark: days whose rows are written and whose identities were checked. Resume trusts nothing else.",
        key=("subject", "date"),
        scope=("subject",),
        columns=columns("""
            subject text - | step or portfolio
            date date - | UTC day
            run_id text - | id of the decision
            code_version text - | version of the code
            completed_at timestamp - | when
        """),
    ),
)
