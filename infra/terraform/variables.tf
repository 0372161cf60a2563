variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of every resource."
  type        = string
  default     = "europe-west1"
}

variable "image" {
  description = "Image built from infra/Dockerfile, with its digest."
  type        = string
}

variable "database_tier" {
  description = "Machine type of the database."
  type        = string
  default     = "db-custom-1-3840"
}

variable "machine_type" {
  description = "Machine type of the host of webserver and daemon."
  type        = string
  default     = "e2-standard-2"
}

variable "optional_secrets" {
  description = "Keys the deployment may have; each becomes a secret whose value is set by hand."
  type        = set(string)
  default     = ["COINMARKETCAP_API_KEY", "ETHERSCAN_API_KEY", "DEFIYIELD_SLACK_WEBHOOK"]
}
