/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The hash of services inside the model; for model.c only.  model_find() is
 * here, too.
 */
#ifndef ETCDSD_WATCHER_MODEL_INDEX_H
#define ETCDSD_WATCHER_MODEL_INDEX_H

#include "model.h"

/* slot_count: a power of two, more than the services.  Returns 0 or -ENOMEM. */
int model_index_resize(struct model *model, uint32_t slot_count);

/* Adds a service whose name is not there yet.  Returns 0 or -ENOMEM. */
int model_index_add(struct model *model, struct model_service *service);

/* Takes out a service that is there. */
void model_index_remove(struct model *model, const struct model_service *service);

#endif
