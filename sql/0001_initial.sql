-- The first migration: every table of the contracts.
-- Written by `python -m defiyield_core.contracts.generate`. Once applied anywhere it is never edited:
-- a later change is a new numbered file.

-- DefiLlama `/pools`: one snapshot a day, describing the end of the day.
create table raw_defillama_pools (
    date date not null,  -- UTC day whose end the snapshot describes
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    chain text collate "C" not null,  -- chain as DefiLlama names it
    project text collate "C" not null,  -- protocol slug
    symbol text collate "C" not null,  -- the pool's symbol
    pool_meta text collate "C",  -- what tells two pools of one symbol apart
    tvl_usd double precision not null check (tvl_usd >= 0),  -- total value locked; of a lending pool the available liquidity [USD]
    apy double precision check (apy >= -1),  -- effective annual rate, base and reward [fraction]
    apy_base double precision,  -- part paid by borrowers or fees [fraction]
    apy_reward double precision,  -- part paid in reward tokens [fraction]
    apy_mean_30d double precision,  -- DefiLlama's mean of 30 days [fraction]
    volume_usd_1d double precision,  -- traded volume of a day [USD]
    stablecoin boolean not null,  -- DefiLlama's flag: every token is a stablecoin
    il_risk text collate "C",  -- impermanent loss risk: yes or no
    exposure text collate "C",  -- single or multi
    outlier boolean not null,  -- DefiLlama's flag
    observations double precision,  -- DefiLlama's count of observations [days]
    sigma double precision,  -- DefiLlama's volatility of daily returns
    predicted_class text collate "C",  -- DefiLlama's forecast
    predicted_probability double precision,  -- DefiLlama's confidence, a score and no probability [percent]
    underlying_tokens text collate "C",  -- JSON list of addresses or symbols as they came
    reward_tokens text collate "C",  -- JSON list of addresses as they came
    valid_at timestamp not null,  -- moment that the row describes, UTC
    seen_at timestamp not null,  -- moment at which we got it, UTC
    source text collate "C" not null,  -- where it came from: live, recorded or simulated, with the endpoint
    primary key (date, pool_id)
);

-- DefiLlama `/chart/{pool}`: one row per pool and day.
create table raw_defillama_pool_history (
    date date not null,  -- UTC day
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    tvl_usd double precision check (tvl_usd >= 0),  -- total value locked [USD]
    apy double precision check (apy >= -1),  -- effective annual rate, base and reward [fraction]
    apy_base double precision,  -- part paid by borrowers or fees [fraction]
    apy_reward double precision,  -- part paid in reward tokens [fraction]
    valid_at timestamp not null,  -- moment that the row describes, UTC
    seen_at timestamp not null,  -- moment at which we got it, UTC
    source text collate "C" not null,  -- where it came from: live, recorded or simulated, with the endpoint
    primary key (date, pool_id)
);

-- Daily candles of tokens, from CoinMarketCap or another price source.
create table raw_coinmarketcap_ohlcv (
    date date not null,  -- UTC day
    symbol text collate "C" not null,  -- upper-case token symbol
    quote_currency text collate "C" not null,  -- USD, or USDT for a pair quoted in it
    open double precision check (open >= 0),  -- first price [quote]
    high double precision check (high >= 0),  -- highest price [quote]
    low double precision check (low >= 0),  -- lowest price; missing in close-only sources [quote]
    close double precision not null check (close >= 0),  -- last price [quote]
    volume_usd double precision,  -- traded volume [USD]
    market_cap_usd double precision,  -- market capitalisation [USD]
    valid_at timestamp not null,  -- moment that the row describes, UTC
    seen_at timestamp not null,  -- moment at which we got it, UTC
    source text collate "C" not null,  -- where it came from: live, recorded or simulated, with the endpoint
    primary key (date, symbol, quote_currency)
);

-- Gas price by the hour (or as fine as the source has it), from ethgastracker.
create table raw_ethgastracker_hourly_gas_data (
    date date not null,  -- UTC day
    base_fee_gwei double precision not null check (base_fee_gwei >= 0),  -- base fee [gwei]
    priority_fee_gwei double precision not null check (priority_fee_gwei >= 0),  -- tip on top of the base fee; 0 where the source's price includes it [gwei]
    eth_usd double precision not null check (eth_usd >= 0),  -- price of ETH [USD]
    valid_at timestamp not null,  -- moment that the row describes, UTC
    seen_at timestamp not null,  -- moment at which we got it, UTC
    source text collate "C" not null,  -- where it came from: live, recorded or simulated, with the endpoint
    primary key (valid_at)
);
create index raw_ethgastracker_hourly_gas_data_date on raw_ethgastracker_hourly_gas_data (date);

-- Etherscan balances of the addresses of live portfolios.
create table raw_etherscan_account_balances (
    date date not null,  -- UTC day
    address text collate "C" not null,  -- lower-case account address
    token text collate "C" not null,  -- canonical token
    token_address text collate "C",  -- contract; empty for ETH
    amount double precision not null check (amount >= 0),  -- balance [token]
    valid_at timestamp not null,  -- moment that the row describes, UTC
    seen_at timestamp not null,  -- moment at which we got it, UTC
    source text collate "C" not null,  -- where it came from: live, recorded or simulated, with the endpoint
    primary key (date, address, token)
);

-- Etherscan transactions and token transfers of the addresses of live portfolios.
create table raw_etherscan_account_transactions (
    date date not null,  -- UTC day
    address text collate "C" not null,  -- lower-case account address that was asked for
    transaction_hash text collate "C" not null,  -- hash
    kind text collate "C" not null,  -- txlist or tokentx
    sequence bigint not null,  -- position among the rows of one hash and kind
    block_number bigint not null,  -- block
    from_address text collate "C" not null,  -- lower-case sender
    to_address text collate "C",  -- lower-case receiver; empty for a contract creation
    token text collate "C" not null,  -- canonical token, ETH for plain transactions
    token_address text collate "C",  -- contract; empty for ETH
    amount double precision not null check (amount >= 0),  -- amount moved [token]
    fee_eth double precision not null check (fee_eth >= 0),  -- gas paid by the transaction [ETH]
    failed boolean not null,  -- the transaction was reverted
    valid_at timestamp not null,  -- moment that the row describes, UTC
    seen_at timestamp not null,  -- moment at which we got it, UTC
    source text collate "C" not null,  -- where it came from: live, recorded or simulated, with the endpoint
    primary key (address, transaction_hash, kind, sequence)
);
create index raw_etherscan_account_transactions_date on raw_etherscan_account_transactions (date);

-- Stablecoin pools as they stood on a day: what they are and which tokens they hold.
create table pools (
    date date not null,  -- UTC day
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    chain text collate "C" not null,  -- chain
    protocol text collate "C" not null,  -- protocol slug
    symbol text collate "C" not null,  -- the pool's symbol
    pool_meta text collate "C",  -- what tells two pools of one symbol apart
    tokens text collate "C" not null,  -- JSON list of canonical tokens, distinct, in the pool's order
    tvl_usd double precision not null check (tvl_usd >= 0),  -- TVL in the snapshot [USD]
    first_day date not null,  -- first day on which the pool was seen
    primary key (date, pool_id)
);

-- APY and TVL of a pool on a day with rolling statistics.
create table pool_daily_metrics (
    date date not null,  -- UTC day
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    apy double precision check (apy >= -1),  -- rate of the day; null when the day is missing [fraction]
    tvl_usd double precision check (tvl_usd >= 0),  -- TVL of the day; null when the day is missing [USD]
    apy_filled double precision check (apy_filled >= -1),  -- rate carried forward over a gap of at most 3 days [fraction]
    tvl_usd_filled double precision check (tvl_usd_filled >= 0),  -- TVL carried forward likewise [USD]
    is_carried boolean not null,  -- the filled values come from an earlier day
    is_flagged boolean not null,  -- absurd APY (above 10 = 1000 %): never forecast, never allocated, accrues zero
    apy_mean_7d double precision,  -- mean of the observed days among the last 7 [fraction]
    apy_mean_30d double precision,  -- of the last 30 [fraction]
    apy_std_7d double precision check (apy_std_7d >= 0),  -- sample standard deviation of the last 7 days [fraction]
    apy_std_30d double precision check (apy_std_30d >= 0),  -- of the last 30 [fraction]
    apy_change_1d double precision,  -- change since the day before [fraction]
    tvl_mean_7d_usd double precision,  -- mean of the observed days among the last 7 [USD]
    tvl_mean_30d_usd double precision,  -- of the last 30 [USD]
    tvl_std_7d_usd double precision check (tvl_std_7d_usd >= 0),  -- sample standard deviation of the last 7 days [USD]
    tvl_std_30d_usd double precision check (tvl_std_30d_usd >= 0),  -- of the last 30 [USD]
    tvl_change_1d_usd double precision,  -- change since the day before [USD]
    history_days bigint not null check (history_days >= 0),  -- days observed so far [days]
    missing_share_30d double precision not null check (missing_share_30d >= 0 and missing_share_30d <= 1),  -- missing days among the last 30 since the pool began [fraction]
    age_days bigint not null check (age_days >= 0),  -- age of the newest observation [days]
    primary key (date, pool_id)
);

-- Risk tier of a pool on a day by the stability of its APY: 1 calm, 2 moving, 3 wild or too young.
create table pool_groups (
    date date not null,  -- UTC day
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    pool_group bigint not null check (pool_group >= 1 and pool_group <= 3),  -- tier
    reason text collate "C" not null,  -- which threshold decided it
    primary key (date, pool_id)
);

-- Daily candle of a token in USD, USDT quotes multiplied by USDT/USD.
create table token_daily (
    date date not null,  -- UTC day
    token text collate "C" not null,  -- canonical token
    open_usd double precision check (open_usd >= 0),  -- first price [USD]
    high_usd double precision check (high_usd >= 0),  -- highest price [USD]
    low_usd double precision not null check (low_usd >= 0),  -- lowest price; the close where the source has none [USD]
    close_usd double precision not null check (close_usd >= 0),  -- last price [USD]
    market_cap_usd double precision check (market_cap_usd >= 0),  -- market capitalisation [USD]
    source_quote text collate "C" not null,  -- the quote the candle came in
    primary key (date, token)
);

-- Gas price by the hour.
create table gas_fees_hourly (
    date date not null,  -- UTC day
    hour timestamp not null,  -- start of the hour, UTC
    base_fee_gwei double precision not null check (base_fee_gwei >= 0),  -- mean base fee [gwei]
    priority_fee_gwei double precision not null check (priority_fee_gwei >= 0),  -- mean tip [gwei]
    eth_usd double precision not null check (eth_usd >= 0),  -- mean price of ETH [USD]
    primary key (hour)
);
create index gas_fees_hourly_date on gas_fees_hourly (date);

-- Gas price of a day: mean over its hours.
create table gas_fees_daily (
    date date not null,  -- UTC day
    base_fee_gwei double precision not null check (base_fee_gwei >= 0),  -- mean base fee [gwei]
    priority_fee_gwei double precision not null check (priority_fee_gwei >= 0),  -- mean tip [gwei]
    max_gas_price_gwei double precision not null check (max_gas_price_gwei >= 0),  -- highest hourly base fee plus tip [gwei]
    eth_usd double precision not null check (eth_usd >= 0),  -- mean price of ETH [USD]
    hours bigint not null check (hours >= 0),  -- hours observed
    primary key (date)
);

-- Tokens off their peg: a row for every day in the icebox, and one for the day of leaving it.
create table icebox_tokens (
    date date not null,  -- UTC day
    token text collate "C" not null,  -- canonical token
    status text collate "C" not null,  -- entered, held or left
    reason text collate "C" not null,  -- low, close, low+close or no_price; on leaving: recovered
    added_at date not null,  -- day of entry
    removed_at date,  -- day of leaving
    low_usd double precision,  -- lowest price of the day [USD]
    close_usd double precision,  -- last price of the day [USD]
    primary key (date, token)
);

-- Tokens a portfolio may hold.
create table approved_tokens (
    token text collate "C" not null,  -- canonical token
    chain text collate "C",  -- chain of the address
    address text collate "C",  -- contract on that chain, lower case
    pegged boolean not null,  -- pegged to the dollar; a wrapper is not
    wraps text collate "C",  -- token it wraps
    added_at timestamp not null,  -- from when on the entry is on the list
    removed_at timestamp,  -- from when on it is off again
    changed_by text collate "C" not null,  -- who made the last change
    reason text collate "C" not null,  -- why
    primary key (token, added_at)
);

-- Tokens no portfolio may hold, whatever else approves them.
create table blacklisted_tokens (
    token text collate "C" not null,  -- canonical token
    added_at timestamp not null,  -- from when on the entry is on the list
    removed_at timestamp,  -- from when on it is off again
    changed_by text collate "C" not null,  -- who made the last change
    reason text collate "C" not null,  -- why
    primary key (token, added_at)
);

-- Protocols a portfolio may use, by DefiLlama slug.
create table approved_protocols (
    protocol text collate "C" not null,  -- DefiLlama slug
    added_at timestamp not null,  -- from when on the entry is on the list
    removed_at timestamp,  -- from when on it is off again
    changed_by text collate "C" not null,  -- who made the last change
    reason text collate "C" not null,  -- why
    primary key (protocol, added_at)
);

-- Every pool of a day judged under a ruleset, with every reason against it.
create table eligible_pools (
    date date not null,  -- UTC day
    ruleset text collate "C" not null,  -- id of the eligibility parameters
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    depositable boolean not null,  -- new deposits are allowed
    must_exit boolean not null,  -- a held position must leave: there is a hard reason
    reasons text collate "C" not null,  -- all reasons, hard ones marked with an exclamation mark, separated by '; '; empty when none
    notes text collate "C" not null,  -- unknown data that did not exclude
    primary key (date, ruleset, pool_id)
);

-- Forecasts made at the end of a day.
create table pool_forecasts (
    date date not null,  -- day at whose end the forecast was made
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    model text collate "C" not null,  -- forecaster
    horizon_days bigint not null check (horizon_days >= 1),  -- length of the horizon [days]
    apy double precision not null check (apy >= -1),  -- mean APY over the horizon [fraction]
    tvl_usd double precision not null check (tvl_usd >= 0),  -- TVL at the end of the horizon [USD]
    observed_age_days bigint not null check (observed_age_days >= 0),  -- age of the newest observation behind it [days]
    primary key (date, pool_id, model, horizon_days)
);

-- Gas forecasts made at the end of a day.
create table gas_forecasts (
    date date not null,  -- day at whose end the forecast was made
    model text collate "C" not null,  -- forecaster
    horizon_days bigint not null check (horizon_days >= 1),  -- length of the horizon [days]
    gas_price_gwei double precision not null check (gas_price_gwei >= 0),  -- mean base fee plus tip over the horizon [gwei]
    eth_usd double precision not null check (eth_usd >= 0),  -- price of ETH at the moment of the forecast [USD]
    primary key (date, model, horizon_days)
);

-- What a decision was made with: its parameters and the lists as they stood.
create table allocation_parameters (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    policy text collate "C" not null,  -- policy that decided
    parameters text collate "C" not null,  -- JSON of every parameter
    approved_tokens text collate "C" not null,  -- JSON list
    blacklisted_tokens text collate "C" not null,  -- JSON list
    approved_protocols text collate "C" not null,  -- JSON list
    icebox_tokens text collate "C" not null,  -- JSON list
    status text collate "C" not null,  -- ok, no_pools, solver_infeasible, timeout or data_missing
    reason text collate "C" not null,  -- why, when the status is not ok
    objective_usd double precision,  -- growth over the horizon net of costs [USD]
    bound_usd double precision,  -- proven upper bound of it [USD]
    gap_bps double precision,  -- bound less objective, of AUM [bps]
    hold_objective_usd double precision,  -- what doing nothing would have promised [USD]
    notes text collate "C" not null,  -- remarks of the decision
    primary key (portfolio, date)
);
create index allocation_parameters_date on allocation_parameters (date);

-- Positions at the close of a day, after its trades.
create table asset_allocations (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    token text collate "C" not null,  -- canonical token
    amount double precision not null check (amount >= 0),  -- amount held [token]
    value_usd double precision not null check (value_usd >= 0),  -- amount at the day's price [USD]
    primary key (portfolio, date, pool_id, token)
);
create index asset_allocations_date on asset_allocations (date);

-- Every candidate of a decision: what it got and what held it there.
create table asset_allocation_details (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    pool_id text collate "C" not null,  -- DefiLlama's pool id
    symbol text collate "C" not null,  -- the pool's symbol
    protocol text collate "C" not null,  -- protocol slug
    chain text collate "C" not null,  -- chain
    pool_group bigint not null check (pool_group >= 1 and pool_group <= 3),  -- risk tier
    apy_forecast double precision,  -- forecast APY [fraction]
    tvl_usd double precision,  -- TVL that capped the position [USD]
    value_before_usd double precision not null check (value_before_usd >= 0),  -- position before the decision [USD]
    value_usd double precision not null check (value_usd >= 0),  -- position after it [USD]
    share_of_aum double precision not null check (share_of_aum >= 0),  -- of AUM before costs [fraction]
    binding text collate "C" not null,  -- constraint that holds the position where it is, or why it got nothing
    primary key (portfolio, date, pool_id)
);
create index asset_allocation_details_date on asset_allocation_details (date);

-- The plan of a decision, in the order of execution.
create table allocation_transactions (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    seq bigint not null check (seq >= 1),  -- order of execution
    type text collate "C" not null,  -- WITHDRAWAL, CONVERSION, ALLOCATION or HOLD
    from_location text collate "C" not null,  -- wallet, or the pool's id
    to_location text collate "C" not null,  -- wallet, or the pool's id
    token text collate "C" not null,  -- token that leaves
    to_token text collate "C" not null,  -- token that arrives; the same unless it is a conversion
    amount double precision not null check (amount >= 0),  -- gross amount of the token that leaves [token]
    amount_usd double precision not null check (amount_usd >= 0),  -- gross value [USD]
    gas_cost_usd double precision not null check (gas_cost_usd >= 0),  -- gas [USD]
    conversion_cost_usd double precision not null check (conversion_cost_usd >= 0),  -- conversion fee [USD]
    total_cost_usd double precision not null check (total_cost_usd >= 0),  -- both [USD]
    fee_token text collate "C",  -- wallet token that pays the costs
    primary key (portfolio, date, seq)
);
create index allocation_transactions_date on allocation_transactions (date);

-- The books: per portfolio, day and token.
create table daily_ledger (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    token text collate "C" not null,  -- canonical token
    wallet_amount double precision not null check (wallet_amount >= 0),  -- idle in the wallet at the close [token]
    allocated_amount double precision not null check (allocated_amount >= 0),  -- in pools at the close [token]
    price_usd double precision not null check (price_usd >= 0),  -- price of the day [USD]
    value_usd double precision not null check (value_usd >= 0),  -- both amounts at that price [USD]
    accrual_usd double precision not null,  -- yield of the day, at yesterday's prices [USD]
    revaluation_usd double precision not null,  -- change of value by price [USD]
    fees_usd double precision not null check (fees_usd >= 0),  -- gas and conversion fees paid in this token [USD]
    flows_usd double precision not null,  -- external flows [USD]
    nav_usd double precision not null check (nav_usd >= 0),  -- value of the whole portfolio at the close [USD]
    realised_day_yield double precision not null,  -- accrual of the whole portfolio over its opening value [fraction]
    realised_ytd_yield double precision not null,  -- the same, compounded since the first of January or the first day [fraction]
    primary key (portfolio, date, token)
);
create index daily_ledger_date on daily_ledger (date);

-- A portfolio's day in one row: the accounting identity and the decision's outcome.
create table portfolio_daily (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    aum_open_usd double precision not null check (aum_open_usd >= 0),  -- yesterday's close [USD]
    accrual_usd double precision not null,  -- realised yield [USD]
    forecast_accrual_usd double precision not null,  -- what yesterday's forecast said the yield would be [USD]
    revaluation_usd double precision not null,  -- change of value by price [USD]
    flows_usd double precision not null,  -- external flows [USD]
    gas_usd double precision not null check (gas_usd >= 0),  -- gas paid [USD]
    conversion_usd double precision not null check (conversion_usd >= 0),  -- conversion fees paid [USD]
    aum_close_usd double precision not null check (aum_close_usd >= 0),  -- open + accrual + revaluation + flows - gas - conversion [USD]
    idle_usd double precision not null check (idle_usd >= 0),  -- in the wallet at the close [USD]
    turnover_usd double precision not null check (turnover_usd >= 0),  -- deposits and withdrawals [USD]
    n_positions bigint not null check (n_positions >= 0),  -- pools held at the close
    n_transactions bigint not null check (n_transactions >= 0),  -- trades of the day
    token_changes bigint not null check (token_changes >= 0),  -- conversions of the day
    weighted_apy double precision not null,  -- forecast APY of the closing book, idle counted as 0 [fraction]
    realised_apy double precision not null,  -- accrual over the opening value, annualised [fraction]
    status text collate "C" not null,  -- ok, no_pools, solver_infeasible, timeout or data_missing
    reason text collate "C" not null,  -- why, when the status is not ok
    no_data_pools bigint not null check (no_data_pools >= 0),  -- held pools without a row on the day
    primary key (portfolio, date)
);
create index portfolio_daily_date on portfolio_daily (date);

-- Everything a portfolio carries into the next day.
create table portfolio_state (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day at whose close the state stands
    location text collate "C" not null,  -- wallet, or the pool's id
    token text collate "C" not null,  -- canonical token
    amount double precision not null check (amount >= 0),  -- amount [token]
    price_usd double precision not null check (price_usd >= 0),  -- price at which the close was valued [USD]
    absent_days bigint not null check (absent_days >= 0),  -- days in a row on which the pool had no row [days]
    forecast_apy double precision,  -- forecast the position was last valued with [fraction]
    primary key (portfolio, date, location, token)
);
create index portfolio_state_date on portfolio_state (date);

-- The watermark: days whose rows are written and whose identities were checked. Resume trusts nothing else.
create table completed_days (
    subject text collate "C" not null,  -- step or portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    code_version text collate "C" not null,  -- version of the code
    completed_at timestamp not null,  -- when
    primary key (subject, date)
);
create index completed_days_date on completed_days (date);
