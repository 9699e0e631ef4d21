"""Options of a run of CLEL that takes a second or two by the command line."""

SMALL = """--config.network.widths 4 8 --config.network.hidden 16 --config.network.features 8 --config.encoder.width 4
--config.encoder.hidden 16 --config.encoder.features 8 --config.batch-size 8 --config.contrastive-batch-size 8
--config.langevin.steps 2 --config.buffer.size 70 --train.iterations 3 --train.evaluate-every 0 --evaluate.samples 70
--evaluate.steps 2 --device cpu""".split()
