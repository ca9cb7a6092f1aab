"""ansible_module: what Rehome's Ansible modules share.

May import everything below the stages: config, catalog, report, state, run, progress. Read in this order: `run` (how a
module starts, locks the state folder and ends), `stopping` (how it hears that it is to stop), `stage` (what its work is
given), `run_report` (what it adds to the run's report), `argument_spec` (the options of every module, generated from
roles/rehome/meta/argument_specs.yml).
"""
