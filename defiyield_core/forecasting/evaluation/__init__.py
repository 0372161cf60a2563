"""How good forecasts are: rolling-origin scores, metrics, tests of significance, the scorecard and its report."""
