terraform {
  required_version = ">= 1.6"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
  }

  # The state holds the database's password: keep it in a bucket that only operators read.
  #   terraform init -backend-config="bucket=NAME"
  backend "gcs" {
    prefix = "defiyield"
  }
}

provider "google" {
  project = var.project
  region  = var.region
  zone    = var.zone
}
