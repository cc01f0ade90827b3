# make                 set everything up, run the three parts, ask about one photo, compare the models
# make DATA=folder     the same on your own photos: folder/train/<class>/ and folder/validation/<class>/
# make RECIPE=improved the same with what answers the texts' limitations; with DATA=folder too
# make setup           set up alone: virtual environment, packages, ImageNet weights
# make data-tools      what the scripts that collect and prune photos need besides
# make photos          collect both cats from the internet, prune, split: run it again to continue
# make test            run the tests; TESTS=tests/test_photos.py: some of them
# make lint            check the code's style and types
# make clean           remove what the parts saved, and the drawn cats; downloads and your photos stay

PYTHON ?= python3
RECIPE ?= tutorial
DATA ?= $(if $(wildcard data/train),data,data/drawn)
PHOTO ?= $(shell find -L "$(DATA)/validation" -type f ! -name '.*' 2>/dev/null | sort | head -n 1)

python := .venv/bin/python
imagenet := weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5

flags = --data "$(DATA)" --recipe $(RECIPE)
saved := weights$(if $(filter improved,$(RECIPE)),/improved)

# The drawn cats are there to see everything work soon: a third of the texts' epochs in the slow part.
ifeq ($(DATA),data/drawn)
photos := data/drawn/.complete
part3 := $(if $(filter tutorial,$(RECIPE)),--epochs 10)
note := echo "These cats are drawn, not photographed. For numbers about real cats give your photos, make DATA=folder; for answers \
	about real calicos and tabbies add --weights weights/pretrained/fine_tuned_vgg16.weights.h5 to predict.py"
endif

# make photos: several queries a class, since a source gives only so many photos for each. COLLECT_FLAGS: --source, say.
COUNT ?= 1500
TRAIN ?= 1000
VALIDATION ?= 300
COLLECT_FLAGS ?=
collect_to = $(if $(filter data/drawn,$(DATA)),data,$(DATA))
calico := "calico cat" "calico kitten" "calico cat face" "calico cat sleeping" "tricolor cat" "tortoiseshell and white cat" "calico cat portrait" "calico cat outdoors"
tabby := "tabby cat" "tabby kitten" "mackerel tabby" "silver tabby cat" "brown tabby cat" "classic tabby cat" "tabby cat face" "tabby cat sleeping"

.PHONY: all setup data-tools photos test lint clean
all: setup $(photos)
	@$(note)
	@echo; echo "== Part 1: small convnet"
	$(python) fine_tuning_VGG16_pt1.py $(flags)
	@echo; echo "== Part 2: bottleneck features and top model"
	$(python) fine_tuning_VGG16_pt2.py $(flags)
	@echo; echo "== Part 3: fine-tuning"
	$(python) fine_tuning_VGG16_pt3.py $(flags) $(part3)
	@echo; echo "== One photo"
	$(python) predict.py "$(PHOTO)" --weights $(saved)/fine_tuned_vgg16.weights.h5 --save $(saved)/prediction.png
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

.venv/.installed-data: requirements-data.txt .venv/.installed
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements-data.txt
	@touch $@

.venv/.installed-dev: requirements-dev.txt requirements-data.txt .venv/.installed
	$(python) -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

$(imagenet): | .venv/.installed
	$(python) -m tutorial.imagenet

data-tools: .venv/.installed-data

# The story's photos. What prune.py finds wants a person's eye: mark, run this again, and the marked ones are out.
photos: data-tools $(imagenet)
	$(python) data/collect.py $(calico) --class calico --count $(COUNT) --data "$(collect_to)" $(COLLECT_FLAGS)
	$(python) data/collect.py $(tabby) --class tabby --count $(COUNT) --data "$(collect_to)" $(COLLECT_FLAGS)
	test ! -e "$(collect_to)/prune.csv" || $(python) data/prune.py --apply --data "$(collect_to)"
	$(python) data/prune.py --data "$(collect_to)"
	$(python) data/split.py --train $(TRAIN) --validation $(VALIDATION) --data "$(collect_to)"
	@echo "look at $(collect_to)/prune.html, mark what does not belong, and run make photos again; then: make"

data/drawn/.complete: | .venv/.installed
	$(python) data/draw_cats.py
	@touch $@

test: .venv/.installed-dev $(imagenet)
	$(python) -m pytest -q -n 2 --dist loadfile $(TESTS)

lint: .venv/.installed-dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy

clean:
	find weights -mindepth 1 ! -name README.md ! -name '$(notdir $(imagenet))' ! -path 'weights/pretrained*' -delete
	rm -rf data/drawn
