-- Decisions explained and repeatable: prices of the binding constraints, and the whole problem of each decision.

alter table allocation_parameters add column engine text collate "C";  -- solver that proved it
alter table allocation_parameters add column break_even_days double precision;  -- days after which the gain over holding has paid the costs [days]
alter table allocation_parameters add column policy_options text collate "C";  -- JSON of the policy's own options

alter table asset_allocation_details add column shadow_price_bps double precision;  -- what a dollar more room under the binding constraint would add over the horizon [bps]
alter table asset_allocation_details add column marginal_apy double precision;  -- what the last dollar of the position earns [fraction]
alter table asset_allocation_details add column capacity_usd double precision;  -- position at which the last dollar earns no more than the next best use of it [USD]
alter table asset_allocation_details add column break_even_apy double precision;  -- forecast APY from which a candidate would have been worth a move [fraction]

create table allocation_problems (
    portfolio text collate "C" not null,  -- portfolio
    date date not null,  -- UTC day
    run_id text collate "C" not null,  -- id of the decision
    problem text collate "C" not null,  -- JSON, as `defiyield allocate` reads it
    primary key (portfolio, date)
);
create index allocation_problems_date on allocation_problems (date);
