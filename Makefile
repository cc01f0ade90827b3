# make                 set everything up, run the three parts, ask about one photo, compare the models
# make DATA=folder     the same on your own photos: folder/train/<class>/ and folder/validation/<class>/
# make setup           set up alone: virtual environment, packages, ImageNet weights
# make test            run the tests
# make clean           remove what the parts saved, and the drawn cats; downloads and your photos stay

PYTHON ?= python3
DATA ?= $(if $(wildcard data/train),data,data/drawn)
PHOTO ?= $(shell find -L "$(DATA)/validation" -type f ! -name '.*' 2>/dev/null | sort | head -n 1)

python := .venv/bin/python
imagenet := weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5

# The drawn cats are there to see everything work soon: a third of the texts' epochs in the slow part.
ifeq ($(DATA),data/drawn)
photos := data/drawn/validation
part3 := --epochs 10
note := echo "These cats are drawn, not photographed: the numbers say nothing about real cats. Your own: make DATA=folder"
endif

.PHONY: all setup test lint clean
all: setup $(photos)
	@$(note)
	@echo; echo "== Part 1: small convnet"
	$(python) fine_tuning_VGG16_pt1.py --data "$(DATA)"
	@echo; echo "== Part 2: bottleneck features and top model"
	$(python) fine_tuning_VGG16_pt2.py --data "$(DATA)"
	@echo; echo "== Part 3: fine-tuning"
	$(python) fine_tuning_VGG16_pt3.py --data "$(DATA)" $(part3)
	@echo; echo "== One photo"
	$(python) predict.py "$(PHOTO)" --save weights/prediction.png
	@echo; echo "== The three models side by side"
	$(python) -m tutorial.compare "$(PHOTO)"
	@$(note)

setup: .venv/.installed $(imagenet)

.venv/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else \
	"error: Python 3.10 to 3.13 is needed and $(PYTHON) is %d.%d: name another with make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

$(imagenet): | .venv/.installed
	$(python) -m tutorial.imagenet

data/drawn/validation: | .venv/.installed
	$(python) data/draw_cats.py

test: .venv/.installed-dev $(imagenet)
	$(python) -m pytest -q

lint: .venv/.installed-dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .

clean:
	find weights -mindepth 1 ! -name README.md ! -name '$(notdir $(imagenet))' -delete
	rm -rf data/drawn
