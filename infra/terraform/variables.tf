variable "project" {
  description = "Id of the GCP project"
  type        = string
}

variable "region" {
  description = "Region of everything"
  type        = string
  default     = "europe-west1"
}

variable "zone" {
  description = "Zone of the machine; in the region"
  type        = string
  default     = "europe-west1-b"
}

variable "image" {
  description = "Image built from infra/Dockerfile, with its digest or an unchangeable tag"
  type        = string

  validation {
    condition     = can(regex("(:[^/]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "Name the image with a tag other than latest, or a digest: a restart must not change the code."
  }
}

variable "machine_type" {
  description = "Machine of the code server, daemon and webserver (they need about 1 GB, a backtest about 0.5 GB more)"
  type        = string
  default     = "e2-standard-2"
}

variable "database_tier" {
  description = "Machine of Cloud SQL"
  type        = string
  default     = "db-custom-1-3840"
}

variable "operators" {
  description = "Who may open the UI through the tunnel and read logs, e.g. group:treasury@example.com"
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "Names of secrets that operators fill in: what is missing is left out, as defiyield doctor says"
  type        = set(string)
  default     = ["DEFIYIELD_SLACK_WEBHOOK", "COINMARKETCAP_API_KEY", "ETHERSCAN_API_KEY"]
}

variable "keep_logs_days" {
  description = "Days after which logs of runs are deleted"
  type        = number
  default     = 180
}
